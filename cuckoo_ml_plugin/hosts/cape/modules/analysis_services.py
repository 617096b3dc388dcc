"""Makes CAPE's analysis page fetch the section cuckooml from the database. Written by cuckoo-ml install."""

CUSTOM_SERVICES = ["cuckooml"]


def handle_custom_service(service, task_id, sha256):
    """Decline every request: this service makes nothing on demand."""
    return False, service
