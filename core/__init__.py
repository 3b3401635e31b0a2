"""The science of Limner: networks, losses, the training step and all that must survive a crash."""
