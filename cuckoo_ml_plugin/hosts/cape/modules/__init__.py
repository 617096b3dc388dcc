"""The two files that are put into CAPE's folders; they are not imported from here."""
