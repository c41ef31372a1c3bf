"""Work on `mps-stress power` before a release, which no user needs: learning the allocation, and another tool."""
