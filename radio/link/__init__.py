"""The two ends of the air: devices, the access point, and one fading block."""
