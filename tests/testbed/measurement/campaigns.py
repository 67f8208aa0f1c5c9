"""What the tests of campaigns ask for."""

from testbed.measurement.campaign import Asked

SETTINGS = ["num_devices=3", "air.path_loss_db=22", "air.path_loss_spread_db=4", "air.cfo_max_hz=15"]
ASKED = Asked(num_captures=4, capture_s=0.008, directions=("uplink", "downlink"))
