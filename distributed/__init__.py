"""Who runs where: one worker body under Ray Train, torchrun or plain processes."""
