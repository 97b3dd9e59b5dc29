"""A clone works from anywhere: the plugin is taken from here, whether or not the package is installed."""

pytest_plugins = ["mpcore.plugin", "pytester"]
