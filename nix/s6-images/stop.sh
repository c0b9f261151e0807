#!@shell@
# SPDX-License-Identifier: MIT
#
# A signal to s6-svscan: everything ends in order. Its folder is the working directory.
export PATH="${PATH:+$PATH:}@path@"
: >.s6-svscan/stopping
exec s6-svscanctl -t .
