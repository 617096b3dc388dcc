"""Makes CAPE's web interface show the section cuckooml. Written by cuckoo-ml install."""

CUSTOM_SERVICES = ["cuckooml"]


def handle_custom_service(service, task_id, sha256):
    """Decline every request: this service makes nothing on demand."""
    return False, service


try:
    from cuckoo_ml_plugin.hosts.cape.web.settings import put_in_place as _put_in_place

    _put_in_place()
except Exception as error:  # the web interface starts without the plugin
    import logging

    logging.getLogger("cuckooml").error("cuckoo-ml-plugin could not be added to the web interface: %s", error)
