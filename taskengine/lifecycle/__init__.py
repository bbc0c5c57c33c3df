"""The verbs of the engine: one a module, each function takes the Engine first."""
