"""The atlas: a model and its corpus on one page, to look at. ``landscape`` gathers it, ``page`` draws it."""
