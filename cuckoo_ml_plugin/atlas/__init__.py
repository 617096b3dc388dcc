"""The atlas: one HTML page that shows a model and its corpus.

Comes in: an engine with a model, and the `Landscape` that the room `landscape` gathers from it. Goes out: one file with
style, program and data inside, which loads nothing and opens in any browser. `page_data` turns the landscape into JSON;
`html_page` puts the page together; `page/` holds its style sheet, its HTML and its JavaScript.

Imports `landscape`, `engine` and the rooms below them; only the command line and the `Desk` import it.
"""
