#!/bin/sh
# Checks Python and Java before the set-up, and reports what is missing in one line. Usage: check_tools.sh PYTHON
python=${1:-python3.11}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
if [ "$version" != 3.11 ]; then
    echo "chiplake: Python 3.11 is needed and '$python' is ${version:-missing}: install it, or run make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
major=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
case $major in
    17 | 21) ;;
    *)
        echo "chiplake: Java 17 or 21 is needed and '$java' is ${major:-missing}: install one, or set JAVA_HOME" >&2
        exit 1
        ;;
esac
