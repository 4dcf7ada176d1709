"""How long does it take from a record to its reports, as a user waits for it?"""
