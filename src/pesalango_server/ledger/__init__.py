"""Double entry: a market's book of one world, its accounts and transfers, and who owns them."""
