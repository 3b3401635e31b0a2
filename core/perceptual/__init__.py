"""Networks whose features see images as people do, and their published weights, which packages of the index carry."""
