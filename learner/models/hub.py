"""Whether a name on the Hugging Face hub can be had: from the cache, or from the hub if that answers soon."""

from __future__ import annotations

TIMEOUT_S = 5.0
_NOT_REACHED = ("ConnectionError", "TransportError", "Timeout", "TimeoutException", "OfflineModeIsEnabled")
"""Classes, or bases of them, by which one HTTP client or another says that nobody answered."""


def is_cached(name: str) -> bool:
    """Whether an earlier download of the model is on this machine, as far as its configuration tells."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def not_reached(name: str) -> Exception | None:
    """Why the hub does not answer; None if it does, whatever it says of the name.

    The library itself tries again and again for half a minute.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().model_info(name, timeout=TIMEOUT_S)
    except (HfHubHTTPError, ValueError):  # an answer, or a name that it refuses itself
        return None
    except Exception as err:  # of whichever HTTP client the library uses
        if any(kind.__name__ in _NOT_REACHED for kind in type(err).__mro__):
            return err
        raise
    return None
