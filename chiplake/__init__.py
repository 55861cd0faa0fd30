"""Chiplake: settings, lake, jobs and command line shared by every part of the project."""
