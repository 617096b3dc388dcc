"""What runs inside Cuckoo 2.0.7, on its Python 2.7: files for Cuckoo's package, which nothing here imports.

Comes in: the results of an analysis, or a page's address, in one of Cuckoo's processes. Goes out: a request to the
``cuckoo-ml worker`` (``hosts/worker.py``) that ``client.py`` starts, and the section, panel or page that it answers.
The files import the standard library and Cuckoo only; ``hosts/installation/cuckoo2.py`` says where each one belongs.
"""
