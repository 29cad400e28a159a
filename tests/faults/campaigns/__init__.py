"""The campaigns: each makes its faults from a seed and judges what the product did."""
