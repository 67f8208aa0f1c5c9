"""PlutoSDRs through pyadi-iio and libiio; only `driver` imports them."""
