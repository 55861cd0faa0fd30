"""The inference server: the HTTP application, the program that serves it, its process, and a client."""
