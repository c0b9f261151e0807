# SPDX-License-Identifier: MIT
{
  flakeUrl = "path:/config";
  nixosConfiguration = "default";
}
