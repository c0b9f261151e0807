# SPDX-License-Identifier: MIT
{
  services.redis.servers.main = {
    enable = true;
    port = 6379;
    bind = null;
    # Whoever reaches the container's network may use it.
    settings.protected-mode = "no";
  };
  system.stateVersion = "26.05";
}
