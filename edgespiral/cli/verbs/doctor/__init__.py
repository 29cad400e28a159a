"""`edgespiral doctor`: is everything here that a run needs?"""
