"""Nanobot's one command: python3 dev.py run | test | check | fix | bench | crash | lock  (py dev.py on Windows).

Python >= 3.11 and nothing else; what it does is in tools/. To add a dependency: edit pyproject.toml, then
`python3 dev.py lock` (Poetry with poetry-plugin-export), and commit poetry.lock with requirements/.
"""

import sys

# An older Python must be able to parse this file, to be told so.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("Nanobot necesita Python 3.11 o posterior, y este es {}.{}.".format(*sys.version_info))

from tools.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
