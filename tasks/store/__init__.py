"""Files under their hash, what tasks made, and the ledger: here, or shared by a team."""
