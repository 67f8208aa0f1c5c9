"""Every speed, memory and accuracy figure that README or docs quote, each one command."""
