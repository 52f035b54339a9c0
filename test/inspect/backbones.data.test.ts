// The known figures of the published backbones.
import { inspect, loadCheckpoint, type Inspection } from 'mnv2-torch';
import { requireData } from '../support/data.ts';

requireData('backbones', (file) => {
  const look = async (name: string): Promise<Inspection> => inspect(await loadCheckpoint(file('weights', name)));

  test('V2 of TF-slim: no kernel is empty, 263 of 7,136 channels never open, 126 of them in features.16', async () => {
    const { channels, totals, depthwise } = await look('mobilenet_v2_tfslim.safetensors');
    expect([channels, totals.empty, totals.neverOpened, totals.dead]).toEqual([7136, 0, 263, 263]);
    const sixteen = depthwise.find((l) => l.layer === 'features.16.conv.1.0')!;
    expect([sixteen.channels, sixteen.neverOpened!.length]).toEqual([960, 126]);
  });
  test('V2 of the ONNX model zoo: none empty, 31 never open', async () => {
    const { channels, totals } = await look('mobilenet_v2_onnxzoo.safetensors');
    expect([channels, totals.empty, totals.neverOpened]).toEqual([7136, 0, 31]);
  });
  test("V1 with Keras' own statistics: none of 4,960 empty, 20 of variance below 1e-4, 3 never open", async () => {
    const { channels, totals, depthwise, notes } = await look('mobilenet_v1_keras_partial.safetensors');
    expect([channels, totals.empty, totals.vanished, totals.neverOpened]).toEqual([4960, 0, 20, 3]);
    expect(Math.min(...depthwise.map((l) => l.smallestNorm))).toBeCloseTo(0.098, 3);
    expect(notes).toEqual([expect.stringMatching(/^the file lacks features\.13\.1\.0\.weight/)]);
  });
  test('other libraries’ files hold the same', async () => {
    const { totals } = await look('mobilenet_v2_tfslim_no_top.h5');
    expect([totals.empty, totals.neverOpened]).toEqual([0, 263]);
  });
});
