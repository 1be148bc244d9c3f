"""Nets that look at pictures, of torchvision where it has them."""
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models import vision_transformer

CLASSES = 1000


def mobilenet():
    return torchvision.models.mobilenet_v2(weights=None)


def resnet18():
    return torchvision.models.resnet18(weights=None)


def resnet50():
    return torchvision.models.resnet50(weights=None)


def vit():
    """ViT-Ti/16 (Touvron et al., 2021)."""
    net = vision_transformer.VisionTransformer(
        image_size=224, patch_size=16, num_layers=12, num_heads=3,
        hidden_dim=192, mlp_dim=768, num_classes=CLASSES)
    nn.init.trunc_normal_(net.heads.head.weight, std=0.1)
    return net


def conv(i, c, k=3, s=1, groups=1, act=nn.ReLU6):
    """Convolution and batch norm with "same" padding of odd kernels."""
    layers = [nn.Conv2d(i, c, k, s, (k - 1) // 2, groups=groups, bias=False),
              nn.BatchNorm2d(c)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Inverted(nn.Module):
    def __init__(self, i, c, k, s, widen):
        super().__init__()
        w = i * widen
        self.add = s == 1 and i == c
        self.layers = nn.Sequential(
            *([conv(i, w, 1)] if widen > 1 else []),
            conv(w, w, k, s, groups=w), conv(w, c, 1, act=None))

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.add else y


def efficientnet_lite0():
    """Without squeeze and excitation and with relu6 in place of swish, stem
    and head not scaled (tensorflow/tpu, 2020)."""
    stages = [(1, 3, 1, 16, 1), (2, 3, 2, 24, 6), (2, 5, 2, 40, 6),
              (3, 3, 2, 80, 6), (3, 5, 1, 112, 6), (4, 5, 2, 192, 6),
              (1, 3, 1, 320, 6)]
    layers, i = [conv(3, 32, 3, 2)], 32
    for count, k, s, c, widen in stages:
        for n in range(count):
            layers.append(Inverted(i, c, k, s if n == 0 else 1, widen))
            i = c
    return nn.Sequential(*layers, conv(i, 1280, 1), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Dropout(0.2),
                         nn.Linear(1280, CLASSES))


# ---- U-Net (Ronneberger et al., 2015) -------------------------------------

class UNet(nn.Module):
    """Up by transposed convolutions, or by interpolation."""

    def __init__(self, width=16, depth=3, classes=2, bilinear=False):
        super().__init__()
        c = [width << i for i in range(depth + 1)]
        self.first = self.two(3, c[0])
        self.down = nn.ModuleList(self.two(a, b) for a, b in zip(c, c[1:]))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear",
                                      align_corners=True),
                          nn.Conv2d(b, a, 1)) if bilinear
            else nn.ConvTranspose2d(b, a, 2, 2) for a, b in zip(c, c[1:]))
        self.join = nn.ModuleList(self.two(2 * a, a) for a in c[:-1])
        self.last = nn.Conv2d(c[0], classes, 1)

    @staticmethod
    def two(i, c):
        return nn.Sequential(conv(i, c, act=nn.ReLU), conv(c, c, act=nn.ReLU))

    def forward(self, x):
        x = self.first(x)
        skipped = []
        for down in self.down:
            skipped.append(x)
            x = down(F.max_pool2d(x, 2))
        for up, join in zip(reversed(self.up), reversed(self.join)):
            x, skip = up(x), skipped.pop()
            dy, dx = skip.size(2) - x.size(2), skip.size(3) - x.size(3)
            x = F.pad(x, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
            x = join(torch.cat([skip, x], 1))
        return self.last(x)


# ---- super-resolution (EDSR; Lim et al., 2017) ----------------------------

class Edsr(nn.Module):
    def __init__(self, width=32, blocks=4, scale=2):
        super().__init__()

        def conv3(i, c):
            return nn.Conv2d(i, c, 3, padding=1)
        self.register_buffer("mean", torch.tensor(
            [0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1))
        self.head = conv3(3, width)
        self.body = nn.ModuleList(
            nn.Sequential(conv3(width, width), nn.ReLU(),
                          conv3(width, width)) for _ in range(blocks))
        self.end = conv3(width, width)
        self.tail = nn.Sequential(conv3(width, width * scale ** 2),
                                  nn.PixelShuffle(scale), conv3(width, 3))

    def forward(self, x):
        x = h = self.head(x / 255.0 - self.mean)
        for block in self.body:
            h = h + block(h) * 0.1
        y = self.tail(x + self.end(h)) + self.mean
        return (y * 255.0).clamp(0, 255)


# ---- detectors ------------------------------------------------------------

def silu(i, c, k=1, s=1):
    return conv(i, c, k, s, act=nn.SiLU)


class Csp(nn.Module):
    """Two branches, one with bottlenecks, joined (Wang et al., 2020)."""

    def __init__(self, i, c, n, add):
        super().__init__()
        self.a, self.b = silu(i, c // 2), silu(i, c // 2)
        self.inner = nn.ModuleList(
            nn.Sequential(silu(c // 2, c // 2), silu(c // 2, c // 2, 3))
            for _ in range(n))
        self.out, self.add = silu(c, c), add

    def forward(self, x):
        y = self.a(x)
        for inner in self.inner:
            y = y + inner(y) if self.add else inner(y)
        return self.out(torch.cat((y, self.b(x)), 1))


class Sppf(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = silu(c, c // 2), silu(2 * c, c)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        x = self.a(x)
        y = self.pool(x)
        z = self.pool(y)
        return self.b(torch.cat((x, y, z, self.pool(z)), 1))


class Yolo(nn.Module):
    """A path aggregation net over three scales, boxes decoded in the graph:
    [batch, cells * anchors, 5 + classes], boxes as centre and size."""

    def __init__(self, classes=20, w=16):
        super().__init__()
        self.outs = classes + 5
        self.stem = nn.Sequential(silu(3, w, 6, 2), silu(w, 2 * w, 3, 2),
                                  Csp(2 * w, 2 * w, 1, True))
        self.p3 = nn.Sequential(silu(2 * w, 4 * w, 3, 2),
                                Csp(4 * w, 4 * w, 2, True))
        self.p4 = nn.Sequential(silu(4 * w, 8 * w, 3, 2),
                                Csp(8 * w, 8 * w, 2, True))
        self.p5 = nn.Sequential(silu(8 * w, 16 * w, 3, 2),
                                Csp(16 * w, 16 * w, 1, True), Sppf(16 * w))
        self.lat5, self.lat4 = silu(16 * w, 8 * w), silu(8 * w, 4 * w)
        self.up4 = Csp(16 * w, 8 * w, 1, False)
        self.up3 = Csp(8 * w, 4 * w, 1, False)
        self.down4, self.down5 = silu(4 * w, 4 * w, 3, 2), silu(
            8 * w, 8 * w, 3, 2)
        self.out4 = Csp(8 * w, 8 * w, 1, False)
        self.out5 = Csp(16 * w, 16 * w, 1, False)
        self.heads = nn.ModuleList(
            nn.Conv2d(c * w, 3 * self.outs, 1) for c in (4, 8, 16))
        self.strides = (8, 16, 32)
        self.register_buffer("anchors", torch.tensor(
            [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119],
             [116, 90, 156, 198, 373, 326]]).float().view(3, 1, 3, 1, 1, 2))

    def decode(self, x, level):
        b, _, h, w = x.shape
        x = x.view(b, 3, self.outs, h, w).permute(0, 1, 3, 4, 2).contiguous()
        y, x0 = torch.meshgrid(torch.arange(h), torch.arange(w),
                               indexing="ij")
        grid = torch.stack((x0, y), 2).expand(1, 3, h, w, 2).float() - 0.5
        xy, wh, score = x.sigmoid().split((2, 2, self.outs - 4), 4)
        xy = (xy * 2 + grid) * self.strides[level]
        wh = (wh * 2) ** 2 * self.anchors[level]
        return torch.cat((xy, wh, score), 4).view(b, -1, self.outs)

    def forward(self, x):
        p3 = self.p3(self.stem(x))
        p4 = self.p4(p3)
        l5 = self.lat5(self.p5(p4))

        def up(v):
            return F.interpolate(v, scale_factor=2.0, mode="nearest")
        l4 = self.lat4(self.up4(torch.cat((up(l5), p4), 1)))
        o3 = self.up3(torch.cat((up(l4), p3), 1))
        o4 = self.out4(torch.cat((self.down4(o3), l4), 1))
        o5 = self.out5(torch.cat((self.down5(o4), l5), 1))
        return torch.cat([self.decode(head(o), i) for i, (head, o) in
                          enumerate(zip(self.heads, (o3, o4, o5)))], 1)


class Detr(nn.Module):
    """Set prediction by a transformer over features of a convolutional net
    (Carion et al., 2020): logits and boxes of each query."""

    def __init__(self, classes=20, width=64, queries=25, layers=2):
        super().__init__()
        body = torchvision.models.resnet18(weights=None)
        self.body = nn.Sequential(*list(body.children())[:-2])
        self.narrow = nn.Conv2d(512, width, 1)
        self.transformer = nn.Transformer(width, 4, layers, layers,
                                          4 * width, batch_first=True)
        self.query = nn.Parameter(torch.rand(queries, width))
        self.row = nn.Parameter(torch.rand(50, width // 2))
        self.col = nn.Parameter(torch.rand(50, width // 2))
        self.logits = nn.Linear(width, classes + 1)
        self.box = nn.Sequential(nn.Linear(width, width), nn.ReLU(),
                                 nn.Linear(width, 4))
        nn.init.normal_(self.box[2].weight)

    def forward(self, x):
        h = self.narrow(self.body(x))
        b, c, rows, cols = h.shape
        place = torch.cat([
            self.col[:cols].unsqueeze(0).repeat(rows, 1, 1),
            self.row[:rows].unsqueeze(1).repeat(1, cols, 1)], -1)
        tokens = h.flatten(2).permute(0, 2, 1)
        tokens = tokens + place.flatten(0, 1).unsqueeze(0)
        query = self.query.unsqueeze(0).repeat(b, 1, 1)
        y = self.transformer(tokens, query)
        return self.logits(y), self.box(y).sigmoid()
