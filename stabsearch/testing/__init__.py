"""Conformance kits and doubles, published for plug-in authors."""
