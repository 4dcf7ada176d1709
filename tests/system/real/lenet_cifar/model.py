"""LeNet for 32 x 32 colour images: two 5 x 5 convolutions, each followed by 2 x 2 max-pooling,
then three linear layers. The ReLUs are function calls, so no module stands for them.
"""

from torch import Tensor, nn
from torch.nn import functional


class LeNet(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2):
            x = self.pool(functional.relu(conv(x)))
        x = x.flatten(1)
        for fc in (self.fc1, self.fc2):
            x = functional.relu(fc(x))
        return self.fc3(x)


def build() -> nn.Module:
    return LeNet()
