#!/bin/sh
# A fresh disk of a host (Render's, or a folder that Docker made) belongs to root: hand it over, then stop being root.
set -eu
if [ "$(id -u)" = 0 ]; then
    for folder in "$DATA_DIR" "$WORKSPACE_DIR"; do
        mkdir -p "$folder"
        [ "$(stat -c %u "$folder")" = 1000 ] || chown 1000:1000 "$folder"
    done
    exec setpriv --reuid=1000 --regid=1000 --clear-groups --no-new-privs -- "$@"
fi
exec "$@"
