"""From a changed setting to a promoted champion."""
