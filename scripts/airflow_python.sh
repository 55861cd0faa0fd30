#!/bin/sh
# Prints a Python for the environments of managed Airflow: 3.12, as on AWS, if this machine has one, else the argument.
# pyenv's python3.12 runs only if PYENV_VERSION names a version that is installed.
for version in "${PYENV_VERSION:-}" 3.12; do
    if PYENV_VERSION=$version python3.12 -c 'import sys, sqlite3, ssl; print(sys.executable)' 2>/dev/null; then
        exit
    fi
done
echo "$1"
