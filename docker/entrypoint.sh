#!/bin/sh
# A fresh disk of a host (Render's, or a folder that Docker made) belongs to root: hand it over, then stop being root.
# What stays root is a small helper with three capabilities, which runs each command as a user of its own: see launch.py.
set -eu
if [ "$(id -u)" = 0 ]; then
    for folder in "$DATA_DIR" "$WORKSPACE_DIR"; do
        mkdir -p "$folder"
        [ "$(stat -c %u "$folder")" = 1000 ] || chown 1000:1000 "$folder"
    done
    # Both users write there. Once for what an earlier version left, as its owner.
    case "$(stat -c %A "$WORKSPACE_DIR")" in
        ?????w*) ;;
        *) setpriv --reuid=1000 --regid=1000 --clear-groups chmod -R g+rwX "$WORKSPACE_DIR" || true ;;
    esac
    exec python -m app.safety.confine.launch "$@"
fi
exec "$@"
