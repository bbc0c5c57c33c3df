"""The HTTP side of taskengine: parse, call a lifecycle verb, answer."""
