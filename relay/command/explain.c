#include "relay/command/command.h"
