"""Past one process and past one machine: engines that share out work, and pictures in numbers that need them."""
