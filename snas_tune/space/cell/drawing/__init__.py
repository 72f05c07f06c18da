"""How a cell is drawn: where its nodes and ops stand. Standard library only."""
