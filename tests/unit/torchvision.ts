/**
 * Results of torchvision 0.29 on tensors: `input` is [(37 i + 61 j + 97 c + 13 i j) mod 256] of 5 rows, 6 columns and 3
 * channels, `equalize` every 97th value of [floor(floor(7 k / 11) mod 200 / 3)] of 3 channels, 40 rows and 40 columns.
 * Bytes as base64, HWC.
 */
export const torchvision = {
  resizeDown: 'KYrCeo55hViEe6WYa4FQqVmReIFguXZ7dq1uaJSXrpl8nntg',
  resizeUp:
    'AGHCHoDgR6jecNFcmHpawSKD6kusknTUMZLzFXbXN5iwZa6Ck3pnd1iCXE+XiXxkgKp5a8ybMJGoVpN0ioRMvj6AclOPJnqAWX46jaVPtMx2SqsMdlY4sBFy6kuspIRmXpQgmCNa0jKU/V6/ZMUmlXZXtjaXfXbXeraXlcxX1mGYund8j6dRf+BBfZV2dFuqWaGnh7GSu6h9uI16o4Rlj4JRlPVWTK6OGHmvY8RQrpBwz1uRcKYykHJSySqL',
  shorter: 'P5Guf259gY6RgG9jjnN7pnVxbqB+jJuKpINm',
  rotateNearest:
    'AAAAets8txh5Ta4Pl/hZAAAAPZ7/ets8A2TFA2TFpgdo/V6/JYbnb9Ax+Fm6T7AR/2DBY8QlSqsMoQJjN5j5N5j550ipWLkaAAAAb9Ax0zSVdtc450ipAAAA',
  rotateBilinear:
    'ET5rNJW0YqmbhJtKeBdSOBkzOYgZd2pVsE5yUUuie2h6i4i0eLM6tySF02bAR6A0cWE/mtZcX6aFZ3inZLq1qLlqyESKwlOQCCEwOHM2vWuCopNkoIdiL1oS',
  shearX:
    'AGHCPZ7/ets8txh59FW2MZLzJYbnb9AxuRp7A2TFTa4Pl/hZoQJj+Fm6T7ARpgdo/V6/AAAA0zSVN5j5m/xd/2DBY8QlAAAABWbHdtc450ipWLkaySqLAAAA',
  shearY:
    'AGHCPZ7/AAAAAAAAAAAAAAAAJYbnb9Axets8txh59FW2MZLzSqsMoQJjuRp7A2TFTa4Pl/hZb9Ax0zSV+Fm6T7ARpgdo/V6/lPVWBWbHN5j5m/xd/2DBY8Ql',
  translate:
    'AAAAAAAAAGHCPZ7/ets8txh5AAAAAAAAJYbnb9AxuRp7A2TFAAAAAAAASqsMoQJj+Fm6T7ARAAAAAAAAb9Ax0zSVN5j5m/xdAAAAAAAAlPVWBWbHdtc450ip',
  brightness:
    'AH78T83/nv9O7R+d/27sP73/MK7/kP8/8CGfA4L/ZOITxP9zYN4P0QKA/3PxZuQW1wmH/3r4kP8//0PBR8X/yf94/3z6gP4wwP9vBoT/mf9I/13bcvAh/za0',
  contrast:
    'NG6oWJLNfbdYoUJ8xmehUYvFSoS+drBRo0N9NXCqYpw9jshpYJo7lDVvyGmjY50+lzhyy2ymdrBRslONVY/JkctrzW2nb6lKjMdnN3GrerVVvl+ZaKNDrE2H',
  saturation:
    'AG3/Bar/V/wA/QCU/yzRAJ7/AJL/TPEA/wCWAHD/Ks8AdP8LJ8wA5wB+/zDVLNEA7ACD/zXaTPEA/wuwAKT/eP8P/zfcQOUAcf8IAHL/U/gA/x/ENdoA/wGm',
  hue: 'iADCxT3/PNu9t3YY9LNVuTHzrSXnMdCyuXgaiwPFD66QWfjaDKuNoWAC+LdZEbCSpmUH/bxeMdCy05I0vzf5Xfze/75gJcSmVvXXjQXHONe556ZIGrmbyYgq',
  hueBack:
    'r8IA7P892zy6GLe2VfTz4PMx1Ocl0DGvGrm4ssUDrg+N+FnXqwyKAqGgWfj3sBGPB6alXv380DGvNNPS5vk3/F3bYP/+xCWj9VbUtMcF1zi2SOfmuRqYKsnI',
  sharpness:
    'AGDBPJ7/edo8thd481W2MJHyJYbmbv8B2AB6AGT0Lc0AlvdYSqoLsABS/0jZL88AtQBn/F2+bs8w/wSkB6j/m/9M/0/wYsMllPVWBWXGddc35keoV7kZyCmL',
  posterize:
    'AGDAIIDgYMAgoABg4ECgIIDgIIDgYMAgoABgAGDAQKAAgOBAQKAAoABg4ECgQKAAoABg4ECgYMAgwCCAIIDggOBA4GDAYMAggOBAAGDAYMAg4ECgQKAAwCCA',
  solarize:
    'AGE9PWEAhSQ8SBiGC1VJMW0MJXkYkC8xRhqEA5s6TVEPaAdZSlQMXgJjB1lFT08RWQeXAl5AkC8xLDRqN2cGZANdAGA+YzslawpWBZk4iSg4GEhWWEYaNip0',
  autoContrast:
    'AGC+PZ//et0ytxZy9FSyMZLyJYblb9ImuRh0A2PCTa8Dl/pQSqwAoQBb+Fi2T7EFpgVg/V27b9Im0zOPN5n4m/9V/1+9Y8UalPdNBWbEdtku50ekWLoOySiF',
  equalize: 'ADRnU4e5ptkA9BxTQHOmksX04Qg9LF+Sf7Lhzf8nGEx/a57Rue0UADhrV4q9ptkE+CE=',
  centerSmall: 'uRp7A2TFTa4P+Fm6T7ARpgdoN5j5m/xd/2DB',
  centerBig:
    'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAGHCPZ7/ets8txh59FW2MZLzAAAAAAAAJYbnb9AxuRp7A2TFTa4Pl/hZAAAAAAAASqsMoQJj+Fm6T7ARpgdo/V6/AAAAAAAAb9Ax0zSVN5j5m/xd/2DBY8QlAAAAAAAAlPVWBWbHdtc450ipWLkaySqLAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
} as const
