"""Baseband: backends, waveforms, the over-the-air sum and sounding; numpy and scipy only."""
