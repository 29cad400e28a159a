"""What devices say of their state, as our script prints it."""

PIXEL = """
scaling_governor=sched_pixel
scaling_cur_freq=2401000
scaling_max_freq=2850000
zone=BIG 61000
zone=battery 31
zone=vdroop 2147483647
low_power=0
IsStatusOverride: false
Thermal Status: 0
Temperature{mValue=39.1, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
"""
