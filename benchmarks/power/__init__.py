"""What we run of `mps-stress power` before a release, and no user needs: learning the allocation, and another tool."""
