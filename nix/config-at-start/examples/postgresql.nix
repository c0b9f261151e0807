# SPDX-License-Identifier: MIT
{
  services.postgresql = {
    enable = true;
    enableTCPIP = true;
    authentication = "host all all samenet scram-sha-256";
  };
  system.stateVersion = "26.05";
}
