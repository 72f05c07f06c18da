"""Search spaces: what may be chosen, the supernet that holds it all, the child, the costs."""
