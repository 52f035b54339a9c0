// UC Merced, measured: file numbers follow the ground, and a random split makes use of it.
import { audit, loadCheckpoint } from 'mnv2-torch';
import { requireData } from '../support/data.ts';

requireData('UC Merced, audited', (file) => {
  test('neighbours by features are neighbours in number; a blocked split shows it; one picture is there twice', async () => {
    const checkpoint = await loadCheckpoint(file('weights', 'mobilenet_v2_tfslim.safetensors'));
    const { leakage, findings, duplicates, nearDuplicates } = await audit(file('ucmerced'), { weights: checkpoint });
    expect(duplicates.map((d) => d.files)).toEqual([['airplane/airplane01.jpg', 'airplane/airplane02.jpg']]);
    expect(nearDuplicates).toEqual([]); // of 1.4 million pairs in eight poses: no false alarm
    const { order, classes, splits } = leakage!;
    const share = (name: string): number => classes.find((c) => c.label === name)!.order.share;
    expect(share('parkinglot')).toBeCloseTo(0.39, 2);
    expect(share('forest')).toBeCloseTo(0.7, 2);
    expect(order.chance).toBeCloseTo(0.074, 3);
    expect(Math.min(...classes.map((c) => c.order.share))).toBe(share('parkinglot'));
    const [random, blocked] = splits;
    expect(random).toMatchObject({ kind: 'random', images: 504 });
    expect(blocked!.alike).toBeLessThan(0.75 * random!.alike);
    expect(blocked!.agreeing).toBeLessThan(random!.agreeing - 0.08);
    expect(findings.map((f) => f.kind)).toEqual(['duplicates', 'flattery']);
  }, 300_000);
});
