"""The files that ``cuckoo-ml install`` copies into CAPE's folders. They import CAPE, so nothing here imports them."""
