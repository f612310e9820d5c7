"""What every test lives under: no network but loopback, no silent skip, the outside tools located."""

pytest_plugins = [
    "tests.plugins.loopback_only",
    "tests.plugins.strict_skips",
    "tests.plugins.figures",
    "tests.plugins.long_first",
]
