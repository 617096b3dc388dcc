"""Machine learning for malware sandboxes: was this behaviour seen before, how sure is that, is it unlike all else?"""

__version__ = "0.2.0"
