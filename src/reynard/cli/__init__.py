"""The command line of the shared settings page: exit codes 0 done, 1 failed, 2 wrong use, 3 refused by the gateway."""
