"""What counts a night: this machine, or a cluster; either only moves frames to the functions of the domain."""
