"""The pytest plugin. Whoever has the package installed loads it with every pytest: it imports torch, and the workloads, only
once a test asks for a case."""

pytest_plugins = ["mpcore.plugin.hooks", "mpcore.plugin.fixtures", "mpcore.plugin.torch_traces"]
