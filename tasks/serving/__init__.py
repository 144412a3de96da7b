"""Model servers and the gateway, and what they say of themselves."""
